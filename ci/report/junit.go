package report

import (
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/zmqmatrix/zmqmatrix/matrix"
	"github.com/zmqmatrix/zmqmatrix/results"
	"github.com/zmqmatrix/zmqmatrix/results/expect"
)

// The elements of JUnit XML, in the order and with the attributes that both of
// the schemas that readers go by take: Ant's (windyroad/JUnit-Schema, JUnit.xsd)
// and Jenkins' (jenkinsci/xunit-plugin, junit-10.xsd). Ant's wants all of these,
// and allows none on testsuites.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		ID         int             `xml:"id,attr"`
		Package    string          `xml:"package,attr"`
		Name       string          `xml:"name,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Timestamp  string          `xml:"timestamp,attr"` // without a zone
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"` // seconds
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		Out        string          `xml:"system-out"`
		Err        string          `xml:"system-err"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string       `xml:"name,attr"`
		ClassName string       `xml:"classname,attr"`
		Time      string       `xml:"time,attr"` // seconds
		Skipped   *junitSkip   `xml:"skipped"`
		Error     *junitDetail `xml:"error"`
		Failure   *junitDetail `xml:"failure"`
	}
	junitSkip struct {
		Message string `xml:"message,attr"`
	}
	junitDetail struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit is JUnit XML: a suite for each client, a case for each of its findings.
// What breaks the build is a failure, the harness's fault an error, and what is
// known, unsupported or not run is skipped.
func JUnit(gate Gate) ([]byte, error) {
	var document junitSuites
	suites := map[matrix.Client]int{}
	clients := map[matrix.Client]results.Client{}
	for _, client := range gate.Published.Targets {
		clients[client.Key()] = client
	}
	wall := map[matrix.Client]float64{} // milliseconds
	for _, finding := range gate.Report.Findings {
		key := finding.Cell.Key().Client()
		place, known := suites[key]
		if !known {
			place = len(document.Suites)
			suites[key] = place
			document.Suites = append(document.Suites, gate.suite(place, key, clients[key]))
		}
		suite := &document.Suites[place]
		took := 0.0
		if evidence := finding.Cell.Evidence; evidence != nil {
			took = evidence.Account.WallMS
		}
		wall[key] += took
		suite.add(gate.junitCase(suite.Name, finding, took))
		if finding.Kind == expect.UnexpectedPass && !finding.Breaks {
			suite.Out += name(finding) + ": " + gate.because(finding) + "\n"
		}
		suite.Time = seconds(wall[key])
	}
	encoded, err := xml.MarshalIndent(document, "", " ")
	if err != nil {
		return nil, fmt.Errorf("writing JUnit XML: %w", err)
	}
	return append([]byte(xml.Header), append(encoded, '\n')...), nil
}

// suite begins the suite of a client.
func (g Gate) suite(id int, key matrix.Client, client results.Client) junitSuite {
	suite := junitSuite{
		ID: id, Package: "zmqmatrix", Name: results.Shown(key.String(), mostName), Hostname: "localhost",
		Timestamp: g.Published.Run.Started.UTC().Format("2006-01-02T15:04:05"), Time: seconds(0),
	}
	for _, property := range []junitProperty{
		{"run", g.Published.Run.ID}, {"zmqmatrix", g.Published.Run.Tool}, {"runtime", g.Published.Run.Runtime},
		{"version", client.Version}, {"libzmq", client.Libzmq}, {"binding-version", client.BindingVersion},
	} {
		property.Value = results.Shown(property.Value, mostName)
		suite.Properties = append(suite.Properties, property)
	}
	return suite
}

// add adds a case and counts it.
func (s *junitSuite) add(added junitCase) {
	s.Tests++
	switch {
	case added.Failure != nil:
		s.Failures++
	case added.Error != nil:
		s.Errors++
	case added.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, added)
}

func (g Gate) junitCase(class string, finding expect.Finding, took float64) junitCase {
	made := junitCase{Name: results.Shown(finding.Cell.Feature, mostName), ClassName: class, Time: seconds(took)}
	if !finding.Feature {
		made.Name = results.Shown(finding.Cell.Feature+"/"+finding.Cell.Technique, mostName)
	}
	lines := g.lines(finding)
	message, text := lines[0], strings.Join(lines, "\n")
	switch {
	case finding.Breaks:
		made.Failure = &junitDetail{string(finding.Kind), message, text}
	case finding.Kind == expect.HarnessError:
		made.Error = &junitDetail{string(finding.Kind), message, text}
	case finding.Cell.Outcome != matrix.Pass:
		made.Skipped = &junitSkip{capital(words[finding.Kind][0]) + ": " + strings.Join(lines, "; ")}
	}
	return made
}

// mostMilliseconds bounds a time that a stranger's results claim: a sum of such
// must stay a number.
const mostMilliseconds = 1e15

// seconds writes milliseconds as JUnit's decimal.
func seconds(milliseconds float64) string {
	return fmt.Sprintf("%.3f", min(milliseconds, mostMilliseconds)/1000)
}
