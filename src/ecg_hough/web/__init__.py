"""What guards pages in a browser, of the service and of the review."""
