"""What one client can do to the others: each file fills one bound and measures memory and the latency of bystanders."""
