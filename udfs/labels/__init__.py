"""What a labeller said about the bytes of a text: forget spans, unknown spans, everything else retain.

1. `read_documents` reads a source as plain documents: id, text, hash, or a note why there is no text.
2. A labeller gives spans of bytes: `lexicon_file` by the words of a stored lexicon, which `lexicon` learns from counts;
   `marked_spans` from what people marked. `sentences` cuts a text for those who judge sentence by sentence.
3. `labels` is the contract: the columns of a label set, their checks, and targets for any tokenizer's tokens.
4. `compare_labels` holds two label sets against each other, a partition at a time; `agreement` says what the counts
   amount to.
"""
