"""What every page is made of: one self-contained HTML file, no script, nothing loaded from anywhere.

1. Values come in, their texts hostile; `html` escapes them and makes the small pieces.
2. `charts` draws inline SVG: histograms, bars, curves.
3. `frame` wraps a page's body: style sheet and content security policy.
4. The pages are one floor up: `corpus/`, `classifier/`, `refresh/`.
"""
