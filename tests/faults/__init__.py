"""Fault campaigns: what is promised holds while servers, connections and the database break."""
