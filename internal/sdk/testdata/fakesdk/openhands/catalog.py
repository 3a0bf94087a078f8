PROVIDERS = ["one"]
