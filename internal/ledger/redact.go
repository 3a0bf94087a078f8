package ledger

// Redact applies redact to the texts of an entry that programs and servers wrote: they may repeat a secret.
func (e *Entry) Redact(redact func(string) string) {
	for _, text := range []*Text{&e.Error, &e.ErrorOutput, &e.StrategyReason} {
		*text = Text(redact(string(*text)))
	}
	for i := range e.Attempts {
		e.Attempts[i].Error = Text(redact(string(e.Attempts[i].Error)))
	}
}

// Redact applies redact to the texts of a run that programs and servers wrote.
func (r *Run) Redact(redact func(string) string) {
	r.SetupError, r.Sdist.Error = Text(redact(string(r.SetupError))), Text(redact(string(r.Sdist.Error)))
	if r.EvalEnv != nil {
		r.EvalEnv.Problem = Text(redact(string(r.EvalEnv.Problem)))
	}
	texts := [][]string{r.Warnings, r.RecordErrors}
	for _, v := range r.Rebase.Verified {
		texts = append(texts, v.Differences)
	}
	for _, list := range texts {
		for i := range list {
			list[i] = redact(list[i])
		}
	}
}
