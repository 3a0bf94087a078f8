package runner

// NoHub keeps a step from asking the real Hugging Face hub and its dataset server: nothing listens at these addresses, so
// that the lists in the program are used.
var NoHub = map[string]string{"HF_ENDPOINT": "http://127.0.0.1:1", "HF_DATASETS_SERVER": "http://127.0.0.1:1"}
