"""The edges to Azure: with `shared.bootstrap` the only importers of Azure's SDKs."""
