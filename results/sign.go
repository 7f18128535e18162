package results

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/zmqmatrix/zmqmatrix/matrix/schema"
)

// Results are signed as OpenSSH signs files (PROTOCOL.sshsig), so that a
// contributor has the tools at hand: `ssh-keygen -Y sign` makes the same
// signature, also with a key in an agent, and `ssh-keygen -Y verify` checks it.
const (
	// SignatureNamespace keeps a signature that was made for something else
	// from counting as one of results.
	SignatureNamespace = "results@zmqmatrix"
	// SignatureSuffix is added to the name of what is signed.
	SignatureSuffix = ".sig"
)

// mostSigned bounds what is read to be verified, in bytes; a whole run's
// published results have a few megabytes, its record some hundred.
const mostSigned = 512 << 20

// Why signed results are refused.
var (
	// ErrNotSigned: there is no signature beside the file.
	ErrNotSigned = errors.New("not signed")
	// ErrSignature: the signature is none, or not of results, or not by an
	// Ed25519 key.
	ErrSignature = errors.New("not a signature of results")
	// ErrTampered: the file is not what was signed.
	ErrTampered = errors.New("the file is not what was signed")
	// ErrUnknownKey: no trusted contributor has the key.
	ErrUnknownKey = errors.New("signed by a key that is not trusted")
	// ErrKeyExpired: the key is trusted, but not for the time of the run.
	ErrKeyExpired = errors.New("signed by a key that is not trusted for that day")
)

// Contributors are those whose signed runs are taken: results/contributors.yaml.
type Contributors struct {
	Schema       string               `json:"schema"`
	Contributors []TrustedContributor `json:"contributors"`

	file string
}

// TrustedContributor is a person and their key.
type TrustedContributor struct {
	Name  string `json:"name"`
	Key   string `json:"key"`             // a line of an OpenSSH .pub file
	Since string `json:"since"`           // first day on which a run may have ended: "2026-11-24"
	Until string `json:"until,omitempty"` // last such day, "" if there is no end

	public ssh.PublicKey
}

// Fingerprint is what the key is known by: "SHA256:…".
func (c TrustedContributor) Fingerprint() string { return ssh.FingerprintSHA256(c.public) }

// ReadContributors reads whose runs are taken. With an error it returns those
// that trust nobody.
func ReadContributors(path string) (Contributors, error) {
	nobody := Contributors{file: path}
	data, err := os.ReadFile(path)
	if err != nil {
		return nobody, fmt.Errorf("reading whose signed results are trusted: %w", err)
	}
	document, err := schema.ReadYAML(schema.Contributors, path, data)
	if err != nil {
		return nobody, err
	}
	asJSON, err := document.JSON()
	if err != nil {
		return nobody, err
	}
	read := Contributors{file: path}
	if err := json.Unmarshal(asJSON, &read); err != nil {
		return nobody, fmt.Errorf("%s: the schema takes what the program can't: %w", path, err)
	}
	var problems []*schema.Error
	seen := map[string]string{}
	for i := range read.Contributors {
		contributor := &read.Contributors[i]
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(contributor.Key))
		if err == nil && public.Type() != ssh.KeyAlgoED25519 {
			err = fmt.Errorf("it is a key of type %s, not %s", public.Type(), ssh.KeyAlgoED25519)
		}
		if err != nil {
			problems = append(problems, document.Problem(fmt.Sprintf("no Ed25519 key: %v; give the line of the .pub file", err), "contributors", i, "key"))
			continue
		}
		contributor.public = public
		if other, taken := seen[contributor.Fingerprint()]; taken {
			problems = append(problems, document.Problem("the key of "+other+" too; one key is one contributor", "contributors", i, "key"))
		}
		seen[contributor.Fingerprint()] = contributor.Name
		if contributor.Until != "" && contributor.Until < contributor.Since {
			problems = append(problems, document.Problem("before since, "+contributor.Since, "contributors", i, "until"))
		}
	}
	if err := schema.Join(problems...); err != nil {
		return nobody, err
	}
	return read, nil
}

// GenerateKey makes a key for signing: the private one as OpenSSH keeps it, and
// the line of its .pub file.
func GenerateKey(comment string) (private []byte, public string, err error) {
	key, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("making a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(secret, comment)
	if err != nil {
		return nil, "", fmt.Errorf("writing a key as OpenSSH does: %w", err)
	}
	shared, err := ssh.NewPublicKey(key)
	if err != nil {
		return nil, "", fmt.Errorf("writing a public key as OpenSSH does: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(shared)))
	if comment != "" {
		line += " " + comment
	}
	return pem.EncodeToMemory(block), line, nil
}

// Sign signs the results in path with a private key as OpenSSH keeps it, writes
// the signature beside them and returns the key's fingerprint.
func Sign(path string, private []byte) (fingerprint string, err error) {
	signer, err := ssh.ParsePrivateKey(private)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return "", fmt.Errorf("the key has a passphrase, which is for ssh-keygen to ask: ssh-keygen -Y sign -n %s -f KEY %s", SignatureNamespace, ShellWord(path))
	case err != nil:
		return "", fmt.Errorf("reading the key: %w; `zmqmatrix results keygen` makes one", err)
	case signer.PublicKey().Type() != ssh.KeyAlgoED25519:
		return "", fmt.Errorf("the key is of type %s, not %s; `zmqmatrix results keygen` makes one", signer.PublicKey().Type(), ssh.KeyAlgoED25519)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading what is to be signed: %w", err)
	}
	signature, err := sshsig.Sign(bytes.NewReader(data), signer, sshsig.HashSHA512, SignatureNamespace)
	if err != nil {
		return "", fmt.Errorf("signing %s: %w", path, err)
	}
	if err := ReplaceFile(path+SignatureSuffix, sshsig.Armor(signature)); err != nil {
		return "", err
	}
	return ssh.FingerprintSHA256(signer.PublicKey()), nil
}

// IsSigned reports whether there is a signature beside the file.
func IsSigned(path string) bool {
	_, err := os.Stat(path + SignatureSuffix)
	return err == nil
}

// verifySignature returns the file's bytes, which nothing may look at before,
// and who signed them.
func (c Contributors) verifySignature(path string) ([]byte, TrustedContributor, error) {
	fail := func(err error) ([]byte, TrustedContributor, error) { return nil, TrustedContributor{}, err }
	signed := path + SignatureSuffix
	armored, err := os.ReadFile(signed)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(fmt.Errorf("%s: %w: %s is not there; results of somebody else are only taken signed: ask them for `zmqmatrix results sign`", path, ErrNotSigned, signed))
	case err != nil:
		return fail(fmt.Errorf("reading the signature of %s: %w", path, err))
	}
	const again = "get it again from whoever signed, or let them sign anew with `zmqmatrix results sign`"
	signature, err := sshsig.Unarmor(armored)
	switch {
	case err != nil:
		return fail(fmt.Errorf("%s: %w: %w; %s", signed, ErrSignature, err, again))
	case signature.PublicKey.Type() != ssh.KeyAlgoED25519:
		return fail(fmt.Errorf("%s: %w: the key is of type %s, not %s; %s", signed, ErrSignature, signature.PublicKey.Type(), ssh.KeyAlgoED25519, again))
	case signature.Namespace != SignatureNamespace:
		return fail(fmt.Errorf("%s: %w: it was made for %q, not for %q; sign with -n %s", signed, ErrSignature, visible(signature.Namespace), SignatureNamespace, SignatureNamespace))
	}
	fingerprint := ssh.FingerprintSHA256(signature.PublicKey)
	info, err := os.Stat(path)
	if err == nil && info.Size() > mostSigned {
		err = fmt.Errorf("it has %s; at most %s are read", byteSize(info.Size()), byteSize(mostSigned))
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return fail(fmt.Errorf("reading signed results %s: %w", path, err))
	}
	if err := sshsig.Verify(bytes.NewReader(data), signature, signature.PublicKey, signature.HashAlgorithm, SignatureNamespace); err != nil {
		return fail(fmt.Errorf("%s: %w: its signature %s, by key %s, is of other bytes (%w); get both files again from whoever signed", path, ErrTampered, signed, fingerprint, err))
	}
	for _, contributor := range c.Contributors {
		if contributor.Fingerprint() == fingerprint {
			return data, contributor, nil
		}
	}
	return fail(fmt.Errorf("%s: %w: %s does not name %s; if you know whose key it is and trust them, add them there", signed, ErrUnknownKey, c.file, fingerprint))
}

// trusts holds a contributor's run to the days that their key is trusted for.
func (c Contributors) trusts(path string, contributor TrustedContributor, finished time.Time) error {
	const day = "2006-01-02"
	ended := finished.UTC().Format(day)
	switch {
	case ended < contributor.Since:
		return fmt.Errorf("%s: %w: the run ended on %s, and %s trusts the key of %s from %s on; set since back there, or ask for a later run", path, ErrKeyExpired, ended, c.file, visible(contributor.Name), contributor.Since)
	case contributor.Until != "" && ended > contributor.Until:
		return fmt.Errorf("%s: %w: the run ended on %s, and %s trusts the key of %s until %s; ask for a signature by a key that is trusted", path, ErrKeyExpired, ended, c.file, visible(contributor.Name), contributor.Until)
	}
	return nil
}
