"""For people who install it or report what went wrong: state of the installation, reports without names."""
