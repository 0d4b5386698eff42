"""What `kanoe doctor` looks at on a machine: one function for each thing, which may take a second and need not succeed."""
