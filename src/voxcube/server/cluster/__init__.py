"""Other nodes: the bus seam and what restores order behind it. The only package that knows there are any."""
