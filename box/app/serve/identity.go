package serve

import "strings"

// peerIdentity returns the URI (a SPIFFE identity in a mesh) of the last element of
// X-Forwarded-Client-Cert, which describes the nearest peer, or "" if there is none. Format: the
// Envoy manual, "x-forwarded-client-cert": elements separated by commas, in them key=value pairs
// separated by semicolons, values optionally quoted.
func peerIdentity(lines []string) string {
	elements := splitOutsideQuotes(strings.Join(lines, ","), ',')
	if len(elements) == 0 {
		return ""
	}
	for _, pair := range splitOutsideQuotes(elements[len(elements)-1], ';') {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "URI") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// splitOutsideQuotes splits at each separator that is not within double quotes; a backslash in
// quotes escapes the next character (a certificate subject may hold commas and quotes).
func splitOutsideQuotes(text string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case text[i] == separator && !quoted:
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}
