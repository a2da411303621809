//! What the languages behind UniFFI ask of an exported name or type, and the compiler does not.

use uniffi_meta::{EnumMetadata, FieldMetadata, FnParamMetadata, Metadata, TraitMethodMetadata, Type};

use crate::surface::type_name;

/// Words that one of Kotlin, Swift and Python keeps for itself: quoted or changed there, if it compiles.
const KEYWORDS: &str = "and any as assert associatedtype async await break case catch class continue def default \
    defer deinit del do elif else enum except extension fallthrough false fileprivate finally for from fun func \
    global guard if import in init inout interface internal is lambda let nil none nonlocal not null object open \
    operator or package pass private protocol public raise repeat rethrows return self static struct subscript super \
    switch this throw throws true try type typealias typeof val var when where while with yield";

/// Methods that every object has in some language: `AutoCloseable`, `java.lang.Object`.
const TAKEN_METHODS: [&str; 8] = ["clone", "close", "destroy", "finalize", "get_class", "notify", "notify_all", "wait"];

/// Every breach, in words; none is good.
#[must_use]
pub fn complaints(items: &[Metadata]) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        match item {
            Metadata::Func(one) => {
                name(&one.name, &mut found);
                inputs(&one.name, &one.inputs, &mut found);
                doc(&one.name, one.docstring.as_deref(), &mut found);
            }
            Metadata::Object(one) => {
                type_is_fit(&one.name, one.docstring.as_deref(), &mut found);
                if one.imp.has_callback_interface() {
                    host_doc(&one.name, one.docstring.as_deref(), &mut found);
                }
            }
            Metadata::Record(one) => {
                type_is_fit(&one.name, one.docstring.as_deref(), &mut found);
                fields(&one.name, &one.fields, &mut found);
            }
            Metadata::Enum(one) => enumeration(one, &mut found),
            Metadata::Constructor(one) => {
                inputs(&format!("{}.{}", one.self_name, one.name), &one.inputs, &mut found);
                doc(&format!("{}.{}", one.self_name, one.name), one.docstring.as_deref(), &mut found);
                if one.is_async {
                    found.push(format!("{}.{} is async, which Kotlin has no constructor for", one.self_name, one.name));
                }
            }
            Metadata::Method(one) => {
                method_name(&one.self_name, &one.name, &mut found);
                inputs(&format!("{}.{}", one.self_name, one.name), &one.inputs, &mut found);
                doc(&format!("{}.{}", one.self_name, one.name), one.docstring.as_deref(), &mut found);
            }
            Metadata::TraitMethod(one) => host_method(one, items, &mut found),
            _ => {}
        }
    }
    found
}

/// A host method answers with a receipt and reports failures: an exception that a binding loses comes back
/// as zeroed bytes, which read as `()`, false, 0 or "", and never as an enum or a record with a field.
fn host_method(method: &TraitMethodMetadata, items: &[Metadata], found: &mut Vec<String>) {
    let of = format!("{}.{}", method.trait_name, method.name);
    method_name(&method.trait_name, &method.name, found);
    inputs(&of, &method.inputs, found);
    doc(&of, method.docstring.as_deref(), found);
    let is_receipt = match &method.return_type {
        Some(Type::Enum { .. }) => true,
        Some(Type::Record { name, .. }) => items.iter().any(|item| match item {
            Metadata::Record(record) => record.name == *name && !record.fields.is_empty(),
            _ => false,
        }),
        _ => false,
    };
    if !is_receipt {
        let answer = method.return_type.as_ref().map_or("nothing".to_owned(), type_name);
        found.push(format!("{of} answers {answer}, which a lost exception reads as too"));
    }
    if method.throws.is_none() {
        found.push(format!("{of} cannot report a failure"));
    }
}

fn host_doc(of: &str, doc: Option<&str>, found: &mut Vec<String>) {
    let words = doc.unwrap_or_default().to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let told = [
        ("its thread", words.contains("thread")),
        ("whether it may block", words.contains("block") || words.contains("deadline")),
        (
            "whether it may call the wallet",
            words.contains("call back into the wallet") || words.contains("call the wallet"),
        ),
    ];
    found.extend(
        told.into_iter().filter(|(_, told)| !told).map(|(what, _)| format!("the doc of {of} does not say {what}")),
    );
}

fn enumeration(one: &EnumMetadata, found: &mut Vec<String>) {
    type_is_fit(&one.name, one.docstring.as_deref(), found);
    for variant in &one.variants {
        let of = format!("{}.{}", one.name, variant.name);
        name(&variant.name, found);
        doc(&of, variant.docstring.as_deref(), found);
        fields(&of, &variant.fields, found);
        if variant.name == one.name {
            found.push(format!("{of} has the name of its type"));
        }
    }
}

fn type_is_fit(of: &str, text: Option<&str>, found: &mut Vec<String>) {
    name(of, found);
    doc(of, text, found);
    if of == "Error" {
        found.push("a type is called Error".to_owned());
    }
}

fn fields(of: &str, fields: &[FieldMetadata], found: &mut Vec<String>) {
    for field in fields {
        name(&field.name, found);
        doc(&format!("{of}.{}", field.name), field.docstring.as_deref(), found);
        // An exception of Kotlin has one already.
        if field.name == "message" {
            found.push(format!("{of} has a field message"));
        }
    }
}

fn inputs(of: &str, inputs: &[FnParamMetadata], found: &mut Vec<String>) {
    for input in inputs {
        name(&input.name, found);
        if input.by_ref {
            found.push(format!("{of} takes {} by reference, which becomes a direct buffer in Kotlin", input.name));
        }
    }
}

fn method_name(of: &str, method: &str, found: &mut Vec<String>) {
    name(method, found);
    if TAKEN_METHODS.contains(&method) {
        found.push(format!("{of}.{method} is a method that every object has"));
    }
}

fn name(word: &str, found: &mut Vec<String>) {
    if KEYWORDS.split_whitespace().any(|keyword| keyword.eq_ignore_ascii_case(word)) {
        found.push(format!("{word} is a keyword of Kotlin, Swift or Python"));
    }
}

fn doc(of: &str, text: Option<&str>, found: &mut Vec<String>) {
    let text = text.unwrap_or_default();
    if text.trim().is_empty() {
        found.push(format!("{of} has no doc"));
    }
    // The generated comment would end there.
    if text.contains("/*") || text.contains("*/") {
        found.push(format!("the doc of {of} has a comment mark"));
    }
}

#[cfg(test)]
mod tests {
    use uniffi_meta::{EnumShape, ObjectImpl, ObjectMetadata, RecordMetadata, TraitKind, VariantMetadata};

    use super::*;

    fn method(name: &str, return_type: Option<Type>) -> Metadata {
        Metadata::TraitMethod(TraitMethodMetadata {
            module_path: String::new(),
            trait_name: "Host".to_owned(),
            index: 0,
            name: name.to_owned(),
            orig_name: None,
            is_async: false,
            inputs: Vec::new(),
            return_type,
            throws: Some(Type::Enum { module_path: String::new(), name: "HostError".to_owned() }),
            takes_self_by_arc: false,
            checksum: None,
            docstring: Some("Does.".to_owned()),
        })
    }

    fn field(name: &str) -> FieldMetadata {
        let docstring = Some("What.".to_owned());
        FieldMetadata { name: name.to_owned(), orig_name: None, ty: Type::String, default: None, docstring }
    }

    fn record(name: &str, fields: Vec<FieldMetadata>) -> Metadata {
        let docstring = Some("What.".to_owned());
        let (module_path, name) = (String::new(), name.to_owned());
        Metadata::Record(RecordMetadata { module_path, name, orig_name: None, remote: false, fields, docstring })
    }

    fn named(name: &str) -> Option<Type> {
        Some(Type::Record { module_path: String::new(), name: name.to_owned() })
    }

    #[test]
    fn a_host_method_that_a_lost_exception_could_answer_is_named() {
        for lost in [None, Some(Type::Boolean), Some(Type::UInt32), Some(Type::String), Some(Type::Bytes)] {
            assert_eq!(complaints(&[method("ask", lost)]).len(), 1);
        }
        let empty = [record("Receipt", Vec::new()), method("ask", named("Receipt"))];
        assert_eq!(complaints(&empty), ["Host.ask answers Receipt, which a lost exception reads as too"]);
        let good = [record("Receipt", vec![field("sequence")]), method("ask", named("Receipt"))];
        assert_eq!(complaints(&good), Vec::<String>::new());
    }

    #[test]
    fn names_that_break_a_language_are_named() {
        let receipt = || record("Receipt", vec![field("sequence")]);
        assert!(complaints(&[receipt(), method("close", named("Receipt"))])[0].contains("every object has"));
        assert!(complaints(&[record("R", vec![field("message")])])[0].contains("field message"));
        assert!(complaints(&[record("R", vec![field("when")])])[0].contains("keyword"));
        assert!(complaints(&[record("Error", Vec::new())])[0].contains("called Error"));
        let variant = VariantMetadata {
            name: "Locked".to_owned(),
            orig_name: None,
            discr: None,
            fields: Vec::new(),
            docstring: Some("What.".to_owned()),
        };
        let like_its_type = Metadata::Enum(EnumMetadata {
            module_path: String::new(),
            name: "Locked".to_owned(),
            orig_name: None,
            shape: EnumShape::Enum,
            remote: false,
            variants: vec![variant],
            discr_type: None,
            non_exhaustive: false,
            docstring: Some("What.".to_owned()),
        });
        assert_eq!(complaints(&[like_its_type]), ["Locked.Locked has the name of its type"]);
    }

    #[test]
    fn a_doc_that_is_missing_or_ends_a_comment_is_named() {
        let mut undocumented = field("sequence");
        undocumented.docstring = None;
        assert_eq!(complaints(&[record("R", vec![undocumented])]), ["R.sequence has no doc"]);
        let mut breaking = field("sequence");
        breaking.docstring = Some("All of src/*".to_owned());
        assert_eq!(complaints(&[record("R", vec![breaking])]), ["the doc of R.sequence has a comment mark"]);
    }

    #[test]
    fn an_interface_of_the_app_says_how_it_is_called() {
        let interface = |doc: &str| {
            Metadata::Object(ObjectMetadata {
                module_path: String::new(),
                name: "Monitor".to_owned(),
                orig_name: None,
                remote: false,
                imp: ObjectImpl::Trait(TraitKind::ForeignOnly),
                docstring: Some(doc.to_owned()),
            })
        };
        assert_eq!(complaints(&[interface("Takes measurements.")]).len(), 3);
        let told = "On a thread of its own; may block; may call back into\nthe wallet.";
        assert_eq!(complaints(&[interface(told)]), Vec::<String>::new());
    }
}
