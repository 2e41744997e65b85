"""From the bytes of a request to arrays: in processes of their own where that may take long."""
