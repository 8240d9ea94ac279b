"""Writing a record: files, overlays, label maps."""
