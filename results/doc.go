// Package results keeps what runs find and shows it: the record that a run
// appends to, the attempts that a later run may reuse, the published JSON, and
// its renderings. Everything a client said is untrusted here: it is bounded on
// its way into the published JSON and escaped on its way out of every
// rendering.
//
// # The way through
//
//	OpenRecord, ResumeRecord → *Record (a matrix.Recorder)
//	PriorOf                  → *Prior (a matrix.Prior)
//	ReadRecord, Inspect      → lines and state of a record, finished or not
//	FromRecord               → Published of any record, to look at
//	Publish                  → Published of a finished record whose controls hold
//	WritePublished, ReadPublished: the file results/published/latest.json
//	Sign, Merger             → results of several runs, and of contributors, in one
//
// Renderings are pure functions of a Published:
//
//	Markdown, MarkdownTable, ReplaceTable, TableOf: documents, README.md
//	Terminal                                      : a terminal's table
//	Page                                          : one self-contained HTML page
//	Explain, FindCell                             : one cell in plain text
//	SeedsMarkdown, SeedsTerminal, SeedsPage       : the question of 2010
//	Summaries                                     : what each client comes to, in a word
//
// Package history keeps what was published and compares runs; packages feed and
// badge render what came of it.
//
// # What may replace what
//
// A run with a selection, or of one shard, is partial. Its results may be written
// anywhere but over those of a full run: WritePublished then returns ErrPartial
// and leaves the file alone. All shards of one plan, merged, are a full run.
//
// What a contributor measured counts only by their signature: it is verified
// before anything in the file is looked at, and rows of others in an unsigned
// file are left out.
package results
