"""What a report on a classifier is made of: `sets` reads labelled documents and `model` scores them, `rows`, `curves`
and `mistakes` turn histograms into figures with the draws of `bootstrap`, `schema` says what they look like as JSON."""
