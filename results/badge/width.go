package badge

import (
	"math"
	"unicode"
)

// fontSize is in pixels.
const fontSize = 11

// advances are the widths of the characters from blank to ~ in Verdana 5.33, of
// which an em has 2048 (the font's hmtx table).
var advances = [...]int{
	720, 806, 940, 1676, 1302, 2204, 1488, 550, 930, 930, 1302, 1676, 745, 930, 745, 930, // blank to /
	1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 930, 930, 1676, 1676, 1676, 1117, // 0 to ?
	2048, 1400, 1404, 1430, 1578, 1295, 1177, 1588, 1539, 862, 931, 1419, 1140, 1726, 1532, 1612, // @ to O
	1235, 1612, 1424, 1400, 1262, 1499, 1400, 2025, 1403, 1260, 1403, 930, 930, 930, 1676, 1302, // P to _
	1302, 1230, 1276, 1067, 1276, 1220, 720, 1276, 1296, 562, 705, 1212, 562, 1992, 1296, 1243, // ` to o
	1276, 1276, 874, 1067, 807, 1296, 1212, 1676, 1212, 1212, 1076, 1300, 930, 1300, 1676, // p to ~
}

const (
	em = 2048
	// other is for letters that are not in the table: as wide as the wider Latin,
	// Greek and Cyrillic ones. Ideographs are an em wide.
	other = 1400
)

// width estimates how wide a text is, in whole pixels.
func width(text string) int {
	sum := 0
	for _, r := range text {
		switch {
		case r >= ' ' && int(r-' ') < len(advances):
			sum += advances[r-' ']
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul) || r > math.MaxUint16:
			sum += em
		case unicode.In(r, unicode.Mn, unicode.Me): // they stand above another letter
		default:
			sum += other
		}
	}
	return (sum*fontSize + em - 1) / em
}
