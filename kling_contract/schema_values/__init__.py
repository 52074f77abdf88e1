"""The values that a JSON Schema describes: rules, formats and boundaries."""
