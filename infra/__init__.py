"""The app's Azure resources, and the checks of what describes them."""
