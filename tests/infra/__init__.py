"""What is promised of the app's Azure resources, as far as it shows without Azure.

``types/`` and ``schemas/`` hold what the checks need, see the README there.
"""
