"""Heart rate, intervals, axes and amplitudes of a record, with their expected errors."""
