"""Pages by HTTP and by DICOM: durable jobs, workers that can be ended, and what guards them."""
