"""A person looks at records, accepts, rejects and corrects them, in a browser."""
