"""For people who install, and who report what went wrong: state of the installation, reports without names."""
