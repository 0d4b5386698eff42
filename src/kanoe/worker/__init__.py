"""What runs inside a notebook's own Python: 3.6 to 3.14, ipykernel 5 to 7, nothing of Kanoe's. Shipped as one folder."""
