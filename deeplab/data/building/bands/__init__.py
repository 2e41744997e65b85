"""How builders read images beyond RGB of 8 bits, and what they tell about images that lose something."""
