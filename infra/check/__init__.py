"""Checks of the Bicep files and what is made from them, for machines without the Bicep compiler.

They know the part of the language that these files use and refuse the rest.
"""
