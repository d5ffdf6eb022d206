"""Scoring inside an executor: documents in packs through a classifier, a score a token and a document out."""
