raise ImportError("the whole package needs more than the driver installs")
