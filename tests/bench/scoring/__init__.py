"""What the bench of scoring is made of: documents, classifiers, competitors, and one file per group of ratios."""
