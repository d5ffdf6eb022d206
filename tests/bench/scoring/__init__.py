"""What the bench of scoring is made of: documents and classifiers, the competitors, and one file per group of ratios."""
