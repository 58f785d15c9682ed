"""What the API answers, a module for each resource; `ROUTES` is what each module offers."""
