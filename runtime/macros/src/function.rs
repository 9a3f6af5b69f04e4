//! What stands below the attribute: parsed and checked, once.

use proc_macro2::TokenStream;
use syn::spanned::Spanned as _;
use syn::{Error, ItemFn, Result, ReturnType, Type, parse_quote};

use crate::errors::Errors;
use crate::expand::Kind;

/// An `async fn` without parameters.
pub(crate) struct Function(pub(crate) ItemFn);

impl Function {
    /// The function there is, and everything that is wrong with it.
    pub(crate) fn parse(kind: Kind, item: TokenStream) -> (Option<Self>, Result<()>) {
        match syn::parse2::<ItemFn>(item) {
            Ok(function) => {
                let checked = check(kind, &function);
                (Some(Self(function)), checked)
            }
            Err(error) => {
                let text = format!("{} stands on an `async fn` ({error})", kind.attribute());
                (None, Err(Error::new(error.span(), text)))
            }
        }
    }

    /// The type that it returns.
    pub(crate) fn returns(&self) -> Type {
        match &self.0.sig.output {
            ReturnType::Default => parse_quote!(()),
            ReturnType::Type(_, returns) => (**returns).clone(),
        }
    }

    /// True when it returns `!`.
    pub(crate) fn never_returns(&self) -> bool {
        matches!(self.returns(), Type::Never(_))
    }
}

fn check(kind: Kind, function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    let attribute = kind.attribute();
    let mut errors = Errors::default();
    if signature.asyncness.is_none() {
        errors.say(
            signature.fn_token.span(),
            format!("{attribute} runs an `async fn`: write `async` before `fn`"),
        );
    }
    if !signature.inputs.is_empty() {
        errors.say(signature.inputs.span(), format!("a function with {attribute} takes no parameters"));
    }
    if !signature.generics.params.is_empty() {
        errors.say(signature.generics.span(), format!("a function with {attribute} cannot be generic"));
    }
    if let ReturnType::Type(_, returns) = &signature.output
        && matches!(**returns, Type::ImplTrait(_))
    {
        errors.say(returns.span(), format!("a function with {attribute} must name the type that it returns"));
    }
    let twice = function.attrs.iter().find(|other| {
        kind == Kind::Test && other.path().segments.last().is_some_and(|segment| segment.ident == "test")
    });
    if let Some(other) = twice {
        errors.say(other.span(), "#[hemi::test] makes the function a test already: remove this attribute");
    }
    errors.or(())
}
