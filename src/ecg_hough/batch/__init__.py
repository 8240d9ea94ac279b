"""Many pages: a folder's into records (`predict`), a biobank's into Parquet parts (`plan`, `run`)."""
