"""Files to pixels: decoding, frames round panels, colours."""
