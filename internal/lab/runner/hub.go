package runner

// NoHub keeps a step from asking the real Hugging Face hub: nothing listens at this address, so that the lists in the program
// are used.
var NoHub = map[string]string{"HF_ENDPOINT": "http://127.0.0.1:1"}
