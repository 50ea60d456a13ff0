// Package archtest holds the house's import rules as a test. It lists the module's packages once, reads the imports of
// every file (of every platform and build tag, tests included), and checks each import, and each chain of imports of
// the static agent, against one table that names the reasons. A violation names the file, what it imports and why that
// is not done here, so that whoever meets it learns the rule and not only that there is one.
package archtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Import is one import declaration. Packages of this module begin with "./", the root package is ".".
type Import struct {
	From string // the importing package
	File string // the file's base name
	To   string // the imported package
	// Names are the identifiers that the file takes from To. Only imports of gopacket's layers have them.
	Names []string
}

// test tells whether only tests see the import.
func (i Import) test() bool { return strings.HasSuffix(i.File, "_test.go") || isTestPackage(i.From) }

// Graph is what the rules are checked against.
type Graph struct {
	// Imports are those of this module's files, whatever platform or tag they are for.
	Imports []Import
	// Links has what each package, foreign ones too, imports when built with CGO_ENABLED=0.
	Links map[string][]string
}

// Violation is a rule broken once.
type Violation struct {
	Chain  []string // from the importing file or package to what it must not reach
	Rule   string
	Reason string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s\n\trule: %s\n\treason: %s", strings.Join(v.Chain, " -> "), v.Rule, v.Reason)
}

// Check returns every violation of the rules, in the order of the imports.
func Check(g Graph) []Violation {
	var broken []Violation
	rules := append(houseRules(), clientRules()...)
	for _, i := range g.Imports {
		for _, r := range rules {
			if (r.tests || !i.test()) && r.denies(i) {
				chain := []string{path.Join(i.From, i.File), i.To}
				broken = append(broken, Violation{chain, r.name, r.reason})
			}
		}
	}
	for _, r := range linkRules() {
		if chain := g.chain(r.from, r.to); chain != nil {
			broken = append(broken, Violation{chain, r.name, r.reason})
		}
	}
	return broken
}

// chain returns the shortest chain of links from a package to the first one that matches, or nil.
func (g Graph) chain(from string, to []string) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		if queue[0] != from && matchAny(to, queue[0]) {
			var chain []string
			for p := queue[0]; p != ""; p = came[p] {
				chain = append(chain, p)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, next := range g.Links[queue[0]] {
			if _, seen := came[next]; !seen {
				came[next] = queue[0]
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// listed is what is read of go list's answer.
type listed struct {
	ImportPath, Dir                                              string
	Imports                                                      []string
	Module                                                       *struct{ Main bool }
	GoFiles, CgoFiles, IgnoredGoFiles, TestGoFiles, XTestGoFiles []string
}

// Load lists the module around the working directory with all it links, and reads the imports of its own files.
func Load(ctx context.Context) (Graph, error) {
	module, err := goTool(ctx, "list", "-m")
	if err != nil {
		return Graph{}, err
	}
	local := namer{strings.TrimSpace(string(module))}
	// -e: a package that does not compile is the compiler's affair.
	output, err := goTool(ctx, "list", "-e", "-deps", "-json=ImportPath,Dir,Imports,Module,GoFiles,CgoFiles,IgnoredGoFiles,TestGoFiles,XTestGoFiles",
		local.module+"/...")
	if err != nil {
		return Graph{}, err
	}
	graph := Graph{Links: map[string][]string{}}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return graph, nil
		} else if err != nil {
			return Graph{}, fmt.Errorf("read go list's answer: %w", err)
		}
		name := local.name(p.ImportPath)
		for _, to := range p.Imports {
			graph.Links[name] = append(graph.Links[name], local.name(to))
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			imports, err := readImports(local, name, filepath.Join(p.Dir, file))
			if err != nil {
				return Graph{}, err
			}
			graph.Imports = append(graph.Imports, imports...)
		}
	}
}

// goTool runs the go command as the static agent is built.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "go", args...)
	command.Env = append(command.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return output, nil
}

func readImports(local namer, from, file string) ([]Import, error) {
	syntax, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", err)
	}
	var imports []Import
	for _, spec := range syntax.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("read imports of %s: %w", file, err)
		}
		i := Import{From: from, File: filepath.Base(file), To: local.name(to)}
		if i.To == gopacketLayers {
			i.Names = namesFrom(syntax, spec)
		}
		imports = append(imports, i)
	}
	return imports, nil
}

// namesFrom lists what a file takes from one of its imports.
func namesFrom(file *ast.File, spec *ast.ImportSpec) []string {
	alias := path.Base(strings.Trim(spec.Path.Value, `"`))
	if spec.Name != nil {
		alias = spec.Name.Name
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == alias {
				names = append(names, selector.Sel.Name)
			}
		}
		return true
	})
	return names
}

// namer writes this module's packages as "./agent/cut", so that the rules hold under any module path.
type namer struct{ module string }

func (l namer) name(importPath string) string {
	if importPath == l.module {
		return "."
	}
	if inside, ok := strings.CutPrefix(importPath, l.module+"/"); ok {
		return "./" + inside
	}
	return importPath
}
