"""From traces to millivolts and seconds: layout, scale, columns, zero lines, fusion."""
