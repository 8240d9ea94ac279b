"""Pages whose traces a program drew as paths: from strokes and words to rows, read without a picture."""
