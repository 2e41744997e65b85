"""Who may ask: names, sites, tokens, encryption, and the line that is kept of each request."""
