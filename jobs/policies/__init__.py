"""What a policy is to a run: its words, its classifier, its rule, and what these decide of scored rows.

1. `definition` reads the written policy and names it by its content.
2. `rules` puts definition, bundle and rule of every policy together under one `rule_id`, stored beside the tables;
   `bundles` opens a bundle for verbs that run beside Spark.
3. `masked_rows` applies the rules to rows of `scores`, and counts the masked table, which must balance.
"""
