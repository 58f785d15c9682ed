"""The product's version, as the console and the API's description say it."""

VERSION = "0.1.0"
