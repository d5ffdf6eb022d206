"""How good a classifier is, with intervals, and which thresholds reach a goal.

1. `sets` reads evaluation sets a few documents at a time; `leaks` refuses or leaves out what was used before.
2. `model` is a bundle, or fresh heads, as one function of texts; `measure` scores every document once and keeps
   `histograms` a document, and the worst passages (`mistakes`).
3. `rows` makes figures of the histograms by group, `curves` those of every threshold, with intervals by `bootstrap`;
   `build` is the one path on which a report is made, `schema` its form as JSON.
4. `calibrate` chooses thresholds on documents of their own by the `goals` that were set; `thresholds` is how a bundle
   records them, `reissue` writes the same classifier with them.
"""
