"""What is printed around the traces: words, and the patient, date, device and measurements that they say."""
