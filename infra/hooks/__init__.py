"""What ``azd`` runs after provisioning and deploying; only Python and the Azure CLI are needed.

Each can be run again at any time: it looks first and changes only what is missing.
"""
