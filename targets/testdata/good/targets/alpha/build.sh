# built by hand
