"""A classifier as one folder that is named and checked by content: encoder, tokenizer, heads, thresholds.

1. A path or a preset's name comes in; `bundle` finds the folder, checks it and loads its parts when they are asked for.
2. `bundle_spec` is what `bundle.json` may say; `bundle_checks` are the ways in which it can be wrong, each with what to
   do, none of which needs torch.
3. `heads` turns the encoder's features into logits of tokens and, averaged, of documents.
4. `pretrained` is the folder of an encoder without heads, on which a classifier is fitted.
"""
