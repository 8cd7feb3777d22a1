"""The dashboard: a Streamlit app that reads run folders and never runs a scenario itself."""
