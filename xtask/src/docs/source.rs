//! Error enums as the code declares them: names, texts, doc comments, codes, advice.
//!
//! Reads the shapes that the two error files use, and fails with the name of whatever it does not
//! understand rather than leaving it out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Expr, ExprLit, ExprMatch, ExprStruct, FieldValue, Fields, ImplItem, Item, ItemEnum, Lit, Member, Meta,
    Pat, Stmt, Token, Type,
};

/// One source file.
pub(crate) struct Source {
    items: Vec<Item>,
}

/// An enum with documented variants.
#[derive(Debug)]
pub(crate) struct Variants {
    /// In the order of the code.
    pub(crate) all: Vec<Variant>,
}

/// One variant.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) name: String,
    /// The doc comment, in one paragraph.
    pub(crate) doc: String,
    /// The argument of `#[error]`; empty where there is none.
    pub(crate) text: String,
    /// Fields and their types, by name.
    pub(crate) fields: BTreeMap<String, String>,
}

/// What `advice()` says of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AdviceOf {
    /// Always the same.
    One(String),
    /// By the variant of its reason.
    ByReason(BTreeMap<String, String>),
}

/// An error's facts, where a function writes them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) code: String,
    pub(crate) advice: String,
    pub(crate) text: String,
}

impl Source {
    /// Parses a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Parses a text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        Ok(Self { items: syn::parse_file(text)?.items })
    }

    /// The variants of the enum `name`, if there is one.
    pub(crate) fn find_variants(&self, name: &str) -> Result<Option<Variants>> {
        self.items
            .iter()
            .find_map(|item| match item {
                Item::Enum(found) if found.ident == name => Some(read_enum(found)),
                _ => None,
            })
            .transpose()
    }

    /// The variants of the enum `name`.
    pub(crate) fn variants(&self, name: &str) -> Result<Variants> {
        self.find_variants(name)?.with_context(|| format!("there is no enum {name}"))
    }

    /// What `code()` of `name` answers for each variant; `None` where it computes the code.
    pub(crate) fn codes(&self, name: &str) -> Result<BTreeMap<String, Option<u32>>> {
        let mut codes = BTreeMap::new();
        for (variant, answer) in arms(self.method(name, "code")?)? {
            let code = match answer {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Int(number) => Some(number.base10_parse()?),
                    _ => bail!("the code of {variant} is not a number"),
                },
                _ => None,
            };
            codes.insert(variant, code);
        }
        Ok(codes)
    }

    /// What `advice()` of `name` answers for each variant.
    pub(crate) fn advice(&self, name: &str) -> Result<BTreeMap<String, AdviceOf>> {
        let variants = self.variants(name)?;
        let mut advice = BTreeMap::new();
        for (variant, answer) in arms(self.method(name, "advice")?)? {
            let fields = variants.all.iter().find(|found| found.name == variant).map(|found| &found.fields);
            let fields = fields.with_context(|| format!("advice() names {variant}, {name} does not"))?;
            let found = self.advice_of(answer, fields).with_context(|| format!("advice of {variant}"))?;
            advice.insert(variant, found);
        }
        Ok(advice)
    }

    fn advice_of(&self, answer: &Expr, fields: &BTreeMap<String, String>) -> Result<AdviceOf> {
        match answer {
            Expr::Path(path) => Ok(AdviceOf::One(last_segment(&path.path)?)),
            Expr::Block(block) => match block.block.stmts.as_slice() {
                [Stmt::Expr(inner, None)] => self.advice_of(inner, fields),
                _ => bail!("the block is not one expression"),
            },
            Expr::Call(some)
                if some.args.len() == 1 && matches!(&*some.func, Expr::Path(path) if path.path.is_ident("Some")) =>
            {
                self.advice_of(&some.args[0], fields)
            }
            Expr::Match(by_reason) => plain_advice(by_reason),
            Expr::MethodCall(call) if call.method == "advice" => {
                let Expr::Path(field) = &*call.receiver else { bail!("advice() is not asked of a field") };
                let field = last_segment(&field.path)?;
                let kind = fields.get(&field).with_context(|| format!("there is no field {field}"))?;
                plain_advice(self.method(kind, "advice")?)
            }
            _ => bail!("it is neither a value, a match on a field, nor the advice of a field"),
        }
    }

    /// What a function puts into the `info` of the error that it makes.
    pub(crate) fn made_by(&self, of: &str, name: &str) -> Result<Literal> {
        let error = match self.body(of, name) {
            Some([Stmt::Expr(Expr::Struct(error), None)]) => error,
            _ => bail!("{of}::{name} is not there, or not one error"),
        };
        let Expr::Struct(info) = field(error, "info")? else { bail!("{of}::{name} does not write its info out") };
        let Expr::Path(advice) = field(info, "advice")? else { bail!("the advice of {name} is not a value") };
        let text = match field(info, "text")? {
            Expr::MethodCall(call) => literal(&call.receiver)?,
            other => literal(other)?,
        };
        Ok(Literal { code: literal(field(info, "code")?)?, advice: last_segment(&advice.path)?, text })
    }

    /// The `match` that is the body of a method.
    fn method(&self, of: &str, name: &str) -> Result<&ExprMatch> {
        match self.body(of, name) {
            Some([Stmt::Expr(Expr::Match(found), None)]) => Ok(found),
            Some(_) => bail!("{of}::{name} is not one match"),
            None => bail!("there is no {of}::{name}"),
        }
    }

    fn body(&self, of: &str, name: &str) -> Option<&[Stmt]> {
        let functions = self.items.iter().flat_map(|item| match item {
            Item::Impl(found) if found.trait_.is_none() && type_name(&found.self_ty).as_deref() == Some(of) => {
                found.items.as_slice()
            }
            _ => &[],
        });
        functions.into_iter().find_map(|item| match item {
            ImplItem::Fn(function) if function.sig.ident == name => Some(function.block.stmts.as_slice()),
            _ => None,
        })
    }
}

/// The value of a field in a struct that is written out.
fn field<'a>(of: &'a ExprStruct, name: &str) -> Result<&'a Expr> {
    let is_wanted = |found: &&FieldValue| matches!(&found.member, Member::Named(member) if member == name);
    of.fields.iter().find(is_wanted).map(|found| &found.expr).with_context(|| format!("there is no field {name}"))
}

/// A number's digits, or a text.
fn literal(expr: &Expr) -> Result<String> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Ok(number.base10_digits().to_owned()),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        _ => bail!("neither a number nor a text"),
    }
}

fn read_enum(found: &ItemEnum) -> Result<Variants> {
    let read = |variant: &syn::Variant| {
        let name = variant.ident.to_string();
        let doc = doc_of(&variant.attrs);
        anyhow::ensure!(!doc.is_empty(), "{}::{name} has no doc comment", found.ident);
        let text = text_of(&variant.attrs).with_context(|| format!("text of {name}"))?;
        Ok(Variant { name, doc, text, fields: fields_of(&variant.fields) })
    };
    Ok(Variants { all: found.variants.iter().map(read).collect::<Result<_>>()? })
}

fn fields_of(fields: &Fields) -> BTreeMap<String, String> {
    fields.iter().filter_map(|field| Some((field.ident.as_ref()?.to_string(), type_name(&field.ty)?))).collect()
}

/// The doc comment in one paragraph, with links to items turned into code.
fn doc_of(attrs: &[Attribute]) -> String {
    let lines = attrs.iter().filter_map(|attr| match &attr.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`").trim().to_owned()
}

/// The format string of `#[error]`, with each placeholder under the name of what it shows.
fn text_of(attrs: &[Attribute]) -> Result<String> {
    let Some(attr) = attrs.iter().find(|attr| attr.path().is_ident("error")) else { return Ok(String::new()) };
    let args = attr.parse_args_with(Punctuated::<Expr, Token![,]>::parse_terminated)?;
    let mut args = args.iter();
    let Some(Expr::Lit(first)) = args.next() else { bail!("#[error] does not begin with a text") };
    let Lit::Str(text) = &first.lit else { bail!("#[error] does not begin with a text") };
    let mut text = text.value();
    for arg in args {
        let name = root_of(arg).context("a placeholder shows neither a field nor a method's answer")?;
        text = text.replacen("{}", &format!("{{{name}}}"), 1);
    }
    Ok(text.replace("{0}", "{value}").replace("{0:?}", "{value}"))
}

/// `limit` for `limit.as_millis()`.
fn root_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::MethodCall(call) => root_of(&call.receiver),
        Expr::Field(field) => root_of(&field.base),
        _ => None,
    }
}

fn plain_advice(by_reason: &ExprMatch) -> Result<AdviceOf> {
    let mut advice = BTreeMap::new();
    for (variant, answer) in arms(by_reason)? {
        let Expr::Path(path) = answer else { bail!("the advice of {variant} is not a value") };
        advice.insert(variant, last_segment(&path.path)?);
    }
    Ok(AdviceOf::ByReason(advice))
}

/// Each variant that a match names, with the answer of its arm.
fn arms(found: &ExprMatch) -> Result<Vec<(String, &Expr)>> {
    let mut answers = Vec::new();
    for arm in &found.arms {
        let answer = match &*arm.body {
            // rustfmt puts a long arm into a block.
            Expr::Block(block) => match block.block.stmts.as_slice() {
                [Stmt::Expr(inner, None)] => inner,
                _ => &arm.body,
            },
            other => other,
        };
        let mut names = Vec::new();
        collect_names(&arm.pat, &mut names)?;
        answers.extend(names.into_iter().map(|name| (name, answer)));
    }
    Ok(answers)
}

fn collect_names(pattern: &Pat, names: &mut Vec<String>) -> Result<()> {
    match pattern {
        Pat::Or(either) => return either.cases.iter().try_for_each(|case| collect_names(case, names)),
        Pat::Struct(found) => names.push(last_segment(&found.path)?),
        Pat::TupleStruct(found) => names.push(last_segment(&found.path)?),
        Pat::Path(found) => names.push(last_segment(&found.path)?),
        _ => bail!("a match has an arm that names no variant"),
    }
    Ok(())
}

fn last_segment(path: &syn::Path) -> Result<String> {
    path.segments.last().map(|segment| segment.ident.to_string()).context("an empty path")
}

fn type_name(kind: &Type) -> Option<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = r#"
        /// Errors.
        pub enum TestError {
            /// Too late, see [`Reason`].
            /// Second line.
            #[error("no answer within {} ms", limit.as_millis())]
            Late { /// d
                limit: Duration, /// r
                reason: Reason },
            /// Gone.
            #[error("gone {0:?}")]
            Gone(u8),
        }
        impl TestError {
            pub fn code(&self) -> u32 { match self { Self::Late { .. } => 7, Self::Gone(n) => 10 + u32::from(*n) } }
            pub fn advice(&self) -> Advice {
                match self { Self::Late { reason, .. } => reason.advice(), Self::Gone(_) => { Advice::Retry } }
            }
        }
        pub enum Reason { /// A. 
            A, /// B.
            B }
        impl Reason { fn advice(&self) -> Advice { match self { Self::A | Self::B => Advice::Retry } } }
    "#;

    #[test]
    fn doc_text_and_code_of_a_variant_are_read() {
        let source = Source::parse(CODE).unwrap();
        let all = source.variants("TestError").unwrap().all;
        assert_eq!(all[0].doc, "Too late, see `Reason`. Second line.");
        assert_eq!((&*all[0].text, &*all[1].text), ("no answer within {limit} ms", "gone {value}"));
        let codes = source.codes("TestError").unwrap();
        assert_eq!((codes["Late"], codes["Gone"]), (Some(7), None));
    }

    #[test]
    fn advice_is_followed_into_the_reason() {
        let advice = Source::parse(CODE).unwrap().advice("TestError").unwrap();
        let reasons = ["A", "B"].map(|name| (name.to_owned(), "Retry".to_owned()));
        assert_eq!(advice["Late"], AdviceOf::ByReason(reasons.into()));
        assert_eq!(advice["Gone"], AdviceOf::One("Retry".to_owned()));
    }

    #[test]
    fn a_catch_all_arm_is_refused_since_it_hides_variants() {
        let code = "impl E { fn code(&self) -> u32 { match self { _ => 1 } } }";
        assert!(Source::parse(code).unwrap().codes("E").is_err());
    }

    #[test]
    fn a_variant_without_a_doc_comment_is_refused() {
        assert!(Source::parse("enum E { A }").unwrap().variants("E").is_err());
    }
}
