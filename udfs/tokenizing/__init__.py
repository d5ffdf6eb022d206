"""Text to token ids and to the UTF-8 bytes that each token covers, for the classifier's tokenizer and any other.

1. A file comes in: `tokenizer` loads it and picks the back end. GPT-2's two files are made one by `gpt2_pair`;
   `byte_level` says whether the literals of a `tokenizer.json` spell its tokens' bytes.
2. Reference back ends: `hugging_face` for a `tokenizer.json`, `tiktoken_ranks` for a rank file. Fast ones,
   `gigatoken_bpe` and `tiktoken_bpe`, are taken only where they make the same tokens on the texts of `probe`.
3. A batch comes in: `texts` looks at Arrow memory without making strings, `pieces` calls the back end on a few
   megabytes at a time and cuts a long text where, by `cuts`, no token changes.
4. Ids, byte lengths and document bounds leave; a document whose tokens do not tile its bytes is named as failed.
5. `train_bpe` makes a new vocabulary, for a classifier or an encoder of one's own.
"""
