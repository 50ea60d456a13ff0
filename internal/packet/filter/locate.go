package filter

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"sonde.example/internal/packet"
)

// CompileError is what is wrong with a filter's text.
type CompileError struct {
	Text     string
	LinkType packet.LinkType
	// Offset is the byte of Text at which the first word stands that cannot be right; len(Text) when something is missing
	// at its end; -1 when it is not known.
	Offset int
	Err    error // libpcap's
}

// Error names the text, what is wrong and where, counted in characters from 1.
func (e *CompileError) Error() string {
	switch {
	case e.Offset < 0:
		return fmt.Sprintf("filter %q for link type %d: %v", e.Text, e.LinkType, e.Err)
	case e.Offset >= len(e.Text):
		return fmt.Sprintf("filter %q for link type %d: %v at its end: something is missing", e.Text, e.LinkType, e.Err)
	}
	word := wordAt(e.Text, e.Offset)
	return fmt.Sprintf("filter %q for link type %d: %v at character %d (%q)", e.Text, e.LinkType, e.Err, utf8.RuneCountInString(e.Text[:e.Offset])+1, word)
}

func (e *CompileError) Unwrap() error { return e.Err }

// syntaxError is what libpcap says of text that its grammar does not have, wherever that shows.
const syntaxError = "syntax error"

// stop follows a text that is only tried: libpcap reads all that stands before it and then refuses the number, which is no
// syntax error, so that its optimizer, slow beyond bounds (MaxText), never sees the text.
const stop = " and port 4000000000"

// locateFor bounds the search, for names in the text may be looked up again and again.
const locateFor = time.Second

// locate finds where in a text the error is. libpcap does not tell; but it reads from left to right, so the beginning of a
// text, cut off behind some word, is either the beginning of a right one or no longer will be, whatever follows. The first
// word with which it is not is the one. To find out whether a beginning can go on, some ways to go on are tried.
func locate(text string, cause error, compile func(string) error) int {
	words := split(text)
	deadline := time.Now().Add(locateFor)
	fails := func(n int) bool { // the same is wrong with the beginning
		end := closing(text, words, n)
		if strings.HasPrefix(cause.Error(), "unknown ") { // shows while libpcap reads, so what follows need not be right
			end += stop
		}
		err := compile(beginning(text, words, n) + end)
		return err != nil && err.Error() == cause.Error()
	}
	if cause.Error() == syntaxError { // it is with every beginning that is not whole
		fails = func(n int) bool { return !canGoOn(text, words, n, compile) }
	}
	low, high := 0, len(words) // beginnings of low words are right, or what is wrong with them is something else
	for low < high {
		if time.Now().After(deadline) {
			return -1
		}
		middle := (low + high) / 2
		if fails(middle + 1) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == len(words) {
		return len(text)
	}
	return words[low].start
}

type word struct{ start, end int }

// split cuts a text into words and signs, as libpcap's lexer does but for signs of two characters, which may be taken apart.
func split(text string) (words []word) {
	const signs = "()[]!&|<>=+-*/%^"
	start := -1
	flush := func(at int) {
		if start >= 0 {
			words = append(words, word{start, at})
			start = -1
		}
	}
	for at, r := range text {
		switch {
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			flush(at)
		case strings.ContainsRune(signs, r) && !(r == '-' && start >= 0):
			flush(at)
			words = append(words, word{at, at + 1})
		case start < 0:
			start = at
		}
	}
	flush(len(text))
	// What libpcap reads as one sign.
	joined := words[:0]
	for _, w := range words {
		if n := len(joined); n > 0 && joined[n-1].end == w.start {
			switch text[joined[n-1].start:w.end] {
			case "&&", "||", "<<", ">>", "<=", ">=", "==", "!=":
				joined[n-1].end = w.end
				continue
			}
		}
		joined = append(joined, w)
	}
	return joined
}

func wordAt(text string, offset int) string {
	for _, w := range split(text) {
		if w.start == offset {
			return text[w.start:w.end]
		}
	}
	return text[offset:]
}

// beginning is the text up to and with its first n words.
func beginning(text string, words []word, n int) string {
	if n == 0 {
		return ""
	}
	return text[:words[n-1].end]
}

// closing closes what the first n words leave open.
func closing(text string, words []word, n int) string {
	parentheses, bracket := 0, false
	for _, w := range words[:n] {
		switch text[w.start:w.end] {
		case "(":
			parentheses++
		case ")":
			parentheses = max(0, parentheses-1)
		case "[":
			bracket = true
		case "]":
			bracket = false
		}
	}
	if bracket {
		return "] = 0" + strings.Repeat(")", parentheses)
	}
	return strings.Repeat(")", parentheses)
}

// canGoOn tells whether some right text begins with the first n words.
func canGoOn(text string, words []word, n int, compile func(string) error) bool {
	start, end := beginning(text, words, n), closing(text, words, n)
	for _, more := range []string{
		"", " tcp", " 80", " port 80", " host 1.1.1.1", " 1.1.1.1", " net 1.0.0.0", " 1.0.0.0/8", " 1:2:3:4:5:6", " proto 6", " multicast",
		" = 0", " 0 = 0", " and tcp", " 1-2", " 8", "0", "] = 0", " = 0 and tcp", " data", " request", " in", " \\tcp", " src 1.1.1.1",
	} {
		if err := compile(start + more + end + stop); err == nil || err.Error() != syntaxError {
			return true
		}
	}
	return false
}
