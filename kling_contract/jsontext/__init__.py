"""JSON text: a strict parser, the position of each value, and JSON pointers."""
